"""Ordinary text from word lists: varied sentences in five languages that does not repeat themselves.

The corpora need text that surrounds a loop, and it must not be repetitive itself. Every slot deals from a shuffled
deck, so a word or a sentence pattern comes back only when all the others of its deck have been used.
What it simplifies: no agreement beyond what the patterns hard-code, no meaning across sentences.

    python -m benchmarks.detector.prose            # one paragraph per language
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

LANGUAGES = ("en", "zh", "ja", "ko", "ru")


def words(packed: str, separator: str = " ") -> list[str]:
    """The entries of a packed list."""
    return packed.split(separator)


_EN: dict[str, str] = {
    "noun": """harbor valley engine library garden orchestra glacier kitchen museum bridge laboratory meadow
    railway workshop lighthouse satellite vineyard archive courtyard reservoir telescope orchard classroom turbine
    monastery estuary quarry greenhouse stadium pharmacy lantern compass ledger violin furnace canal parliament
    hospital bakery theatre market forest island notebook keyboard battery protein algorithm contract budget election
    vaccine treaty novel sculpture recipe blanket window corridor staircase chimney barrel candle pebble river storm
    shadow whistle anchor ribbon saddle feather mirror carpet drawer hammer needle puzzle ticket voyage wagon""",
    "nouns": """engineers villagers historians nurses sailors farmers students critics neighbours pilots
    merchants biologists carpenters musicians translators accountants gardeners miners teachers poets surveyors
    tailors brewers astronomers librarians architects climbers editors chemists fishermen lawyers volunteers cyclists
    bakers dancers economists painters rangers printers welders shepherds potters plumbers judges reporters chefs
    divers masons""",
    "adj": """quiet ancient narrow brilliant fragile distant crowded modest peculiar steady hollow crimson
    generous bitter elegant rough fertile patient abandoned delicate remote vivid cautious rusty humble enormous
    shallow frozen curious tender stubborn radiant damp sturdy hidden noisy golden awkward gentle fierce dusty lively
    silent pale clumsy precise foggy wooden faint restless marble seasonal cheap reliable flawed""",
    "verbed": """repaired described abandoned measured painted questioned discovered ignored rebuilt praised
    borrowed explored inherited photographed protected surveyed copied imagined preserved avoided admired recorded
    cleaned opened decorated mapped sold carried studied watched finished destroyed guarded examined replaced visited
    sketched financed doubted crossed restored designed remembered missed celebrated sheltered circled mistook
    filmed""",
    "verb": """repair describe measure paint question discover rebuild borrow explore protect survey copy
    preserve avoid record clean decorate map carry study finish guard examine replace visit sketch finance cross
    restore design remember celebrate photograph close widen flood insure inspect rename translate simplify test
    postpone combine""",
    "adv": """slowly rarely suddenly quietly eagerly carefully often finally barely openly gladly twice later
    seldom abruptly calmly bravely politely nearly soon again loosely together alone honestly proudly secretly
    gradually""",
    "name": """Amelia Bruno Chiara Dmitri Esther Farouk Greta Hiroshi Ingrid Jamal Katya Leonard Marisol
    Nikhil Oriana Pavel Quentin Rosalind Santiago Tamsin Ulrich Violeta Wendell Xenia Yusuf Zelda Anselm Beatrix
    Cormac Delphine Edmund Fatima Gideon Hanneke Isidore Jolanta Kofi Ludmila Mateus Noor Ottoline Priya Ragnar
    Sunniva Thaddeus""",
    "place": """Lisbon Nairobi Kyoto Bergen Quito Antwerp Marrakesh Tallinn Valparaiso Busan Galway Palermo
    Tbilisi Halifax Lucerne Zanzibar Gdansk Hobart Cusco Reykjavik Trieste Lahore Porto Samarkand Oaxaca Leiden
    Dunedin Varna Aleppo Bruges Cartagena Durban Essen Fukuoka Graz Hanoi Izmir Jaipur Krakow Lima Malmo""",
    "when": """In spring|Before dawn|After the war|By noon|Last winter|On Sundays|During the strike|Years ago|
    At dusk|That evening| Within a week|For decades|Since 1974|Around midnight|Every August|Until recently|
    One morning|Over time|Meanwhile|As a rule|In 1862|At first|Eventually|Once a year|By then|Some days|In theory|
    Elsewhere|Even now|Against advice|To be fair|Oddly enough|In practice|On paper|Without warning|At low tide|
    Back then""",
    "why": """because rents had doubled|since nobody objected|although it rained|while prices kept falling|
    before winter came|if funds allow|so that children could play|unless permits expire|despite two accidents|
    as tradition demands|until lightning struck it|thanks to a grant|for lack of steel|without much noise|
    to win a bet|out of plain curiosity|when trains were late|after long talks|against all odds|in spite of rumours|
    by candlelight|with borrowed tools|under heavy snow|for the fifth time|at half its cost|behind closed doors|
    to everyone's surprise|as maps predicted|with some regret|beyond any doubt|between two storms|on a dare|
    for a small fee|by mistake|in plain sight|amid applause""",
    "concept": """patience inflation gravity friendship erosion justice symmetry hunger memory trade silence
    pollution faith migration humour entropy rhythm honesty boredom literacy fatigue irony demand climate courage
    texture privacy evidence""",
    "unit": """kilometres litres tonnes hours pages metres weeks barrels acres degrees florins miles watts
    grams copies""",
}
_EN_PATTERNS = words(
    """{when}, the {adj} {noun} was {verbed} by {nouns} from {place}.
{name} {adv} {verbed} a {noun} near {place}, {why}.
Few {nouns} would {verb} such a {adj} {noun}.
It took {num} {unit} to {verb} the {noun} that {name} {verbed}.
What {nouns} call {concept} is, for {name}, a kind of {concept}.
{when}, {name} and {name} {verbed} every {adj} {noun} they could find.
The {noun} stood beside a {adj} {noun}; {nouns} {verbed} it {why}.
"We never {verbed} that {noun}," said {name}, "and {nouns} knew it."
Why would anyone {verb} a {noun} {why}?
{place} is known for its {adj} {noun} and its {nouns}.
Nothing about {concept} surprised the {nouns}, who {adv} {verbed} {num} {unit} of it.
A {noun} made of {concept}: that is how {name} {verbed} the scene.
Most {nouns} agree that {concept} can {verb} even a {adj} {noun}.
{when} a {noun} in {place} cost {num} florins, {why}.
Having {verbed} the {noun}, the {nouns} {adv} returned to {place}.
{name}'s {adj} {noun} was neither {adj} nor {adj}.
Without {concept}, {nouns} cannot {verb} anything, least of all a {noun}.
There were {num} {nouns} in the {noun}, and {name} {verbed} them all.
Some {verbed} the {noun}; others {adv} went to {place}.
If {nouns} {verb} the {noun}, {concept} follows {why}.
{concept_c} and {concept} seldom share one {noun}.
Between {place} and {place} lie {num} {unit} of {adj} land.
The first {noun} was {adj}, the second {adj}, and {nouns} {verbed} both.
{name} asked whether {concept} could ever {verb} a {noun} {why}.
{when}, {nouns} in {place} {verbed} {num} {unit} of rope, {why}.
To {verb} a {noun} is {adj}; to {verb} {concept} is not.
Reports of a {adj} {noun} reached {place} {why}.
She {verbed} {concept}, he {verbed} the {noun}, and so {name} left.
Each of the {num} {nouns} {verbed} a different {noun}.
Hardly a {noun} in {place} survived, yet the {nouns} {adv} stayed.
No {noun} is so {adj} that {nouns} will not {verb} it.
{name} wrote about {concept} {why}, as {nouns} do.
Under the {noun} ran a {adj} {noun}, which {nouns} {adv} {verbed}.
{when}, {concept} mattered less than a {adj} {noun}.
They sold the {noun} for {num} florins and {verbed} a {noun} instead.
Not {concept} but {concept} explains the {adj} {noun} of {place}.
{num} {unit} later, {name} {adv} {verbed} the last {noun}.
Ask {name}: {nouns} {verb} what {nouns} {verb}, {why}.
{adj_c} {nouns} {verbed} {name}'s {noun} {why}.
From the {noun} one sees {place}, a {adj} {noun} and little else.""",
    "\n",
)

_ZH: dict[str, str] = {
    "n": """港口 山谷 图书馆 花园 冰川 厨房 博物馆 石桥 实验室 草地 铁路 作坊 灯塔 卫星 葡萄园 档案 院子 水库
    望远镜 果园 教室 修道院 河口 温室 体育场 药房 灯笼 罗盘 账本 小提琴 火炉 运河 医院 面包房 剧院 市场 森林 岛屿
    笔记 电池 合同 预算 选举 疫苗 条约 小说 雕塑 菜谱 毛毯 窗户 走廊 楼梯 烟囱 木桶 蜡烛 卵石 风暴 影子 口哨 丝带
    马鞍 镜子 地毯 抽屉 锤子 车票 航程 马车""",
    "p": """工程师 村民 历史学家 护士 水手 农夫 学生 评论家 邻居 飞行员 商人 生物学家 木匠 乐手 译者 会计 园丁
    矿工 老师 诗人 测量员 裁缝 天文学家 馆员 建筑师 登山者 编辑 渔民 律师 志愿者 骑手 舞者 画家 护林员 印刷工 牧羊人
    陶工 法官 记者 厨师 潜水员""",
    "a": """安静的 古老的 狭窄的 明亮的 脆弱的 遥远的 拥挤的 朴素的 奇特的 稳固的 空心的 深红的 苦涩的 优雅的
    粗糙的 肥沃的 废弃的 精致的 偏僻的 鲜活的 生锈的 巨大的 浅浅的 冰冻的 好奇的 温柔的 固执的 潮湿的 隐蔽的 喧闹的
    金色的 笨拙的 猛烈的 昏暗的 可靠的 便宜的""",
    "v": """修好了 描写了 放弃了 测量了 画下了 质疑了 发现了 忽略了 重建了 称赞了 借走了 探索了 继承了 拍摄了
    保护了 抄写了 想象出 保存了 避开了 记录了 打扫了 打开了 装饰了 卖掉了 研究了 看守了 检查了 更换了 参观了 资助了
    穿过了 设计了 记住了 错过了 庆祝了""",
    "name": """李明 王芳 张伟 刘洋 陈静 杨磊 赵敏 黄勇 周杰 吴倩 徐辉 孙丽 马超 朱婷 胡军 郭静 何涛 高翔 林青
    罗成 梁红 宋扬 唐宁 韩雪""",
    "place": """杭州 成都 西安 青岛 大理 苏州 昆明 厦门 敦煌 洛阳 泉州 拉萨 哈尔滨 桂林 扬州 绍兴 兰州 贵阳
    烟台 银川""",
    "t": """春天 天亮前 战后 中午 去年冬天 每逢周日 罢工期间 多年前 黄昏时 那天晚上 一周之内 几十年来 半夜
    每年八月 不久前 某个早晨 起初 后来 一年一次 照例 退潮时 当时""",
    "c": """耐心 通胀 重力 友谊 侵蚀 正义 对称 饥饿 记忆 贸易 沉默 污染 信仰 迁徙 幽默 节奏 诚实 无聊 疲劳
    需求 气候 勇气 隐私 证据""",
    "w": """因为租金翻倍 虽然下着雨 趁价格还低 在冬天到来之前 好让孩子玩耍 多亏一笔捐款 由于缺少钢材
    只为打个赌 出于好奇 顶着大雪 第五次尝试 出乎大家意料 带着几分遗憾 毫无疑问 在两场风暴之间 一不小心 当着众人的面
    尽管有人反对""",
}
_ZH_PATTERNS = words(
    """{t}，{p}{v}一座{a}{n}。
{name}在{place}{v}{n}，{w}。
很少有{p}会喜欢这么{a}{n}。
{w}，{name}和{name}一起{v}{n}。
谁也没想到，{a}{n}竟然比{n}更贵。
对{p}来说，{c}就是另一种{c}。
“我们从没见过{n}，”{name}说，“{p}也一样。”
{place}以{a}{n}闻名，{p}却更看重{c}。
没有{c}，{n}里的{p}什么也做不成。
从{n}望去，可以看到{place}和{a}{n}。
{t}的{n}里有{num}名{p}。
从{place}到{place}有{num}公里。
{p}{v}{n}，{p}则去了{place}。
要么是{c}，要么是{c}，{name}始终没有说清。
{name}问：{c}能改变{n}吗？
第一个{n}是{a}，第二个被{p}{v}。
{t}，{n}只卖{num}元，{w}。
不是{c}而是{c}解释了{place}的{n}。
{num}天以后，{name}终于{v}最后的{n}。
关于{a}{n}的消息传到{place}，{w}。""",
    "\n",
)

_JA: dict[str, str] = {
    "n": """港 谷 図書館 庭園 氷河 台所 博物館 石橋 実験室 牧草地 鉄道 工房 灯台 衛星 ぶどう畑 記録 中庭
    貯水池 望遠鏡 果樹園 教室 修道院 河口 温室 競技場 薬局 提灯 羅針盤 帳簿 バイオリン 炉 運河 病院 パン屋 劇場 市場
    森 島 手帳 電池 契約 予算 選挙 ワクチン 条約 小説 彫刻 毛布 窓 廊下 階段 煙突 樽 ろうそく 小石 嵐 影 口笛 鏡 絨毯
    引き出し 切符 航海 馬車""",
    "p": """技師 村人 歴史家 看護師 船乗り 農夫 学生 評論家 隣人 操縦士 商人 生物学者 大工 楽士 翻訳者 会計士
    庭師 鉱夫 教師 詩人 仕立屋 天文学者 司書 建築家 登山家 編集者 漁師 弁護士 踊り手 画家 羊飼い 陶工 裁判官 記者
    料理人""",
    "a": """静かな 古い 狭い 明るい もろい 遠い 混み合う 質素な 奇妙な 頑丈な 赤い 苦い 優雅な 粗い 豊かな
    見捨てられた 繊細な 鮮やかな 錆びた 巨大な 浅い 凍った やさしい 頑固な 湿った 隠れた 騒がしい 金色の 不器用な
    激しい 薄暗い 安い""",
    "v": """修理した 描いた 手放した 測った 疑った 見つけた 無視した 建て直した ほめた 借りた 探検した
    受け継いだ 撮影した 守った 写した 想像した 避けた 記録した 掃除した 開けた 飾った 売った 調べた 見張った
    取り替えた 訪ねた 渡った 設計した 覚えた 逃した 祝った""",
    "name": """佐藤 鈴木 高橋 田中 伊藤 渡辺 山本 中村 小林 加藤 吉田 山田 松本 井上 木村 清水 斎藤 森田 池田
    橋本""",
    "place": "京都 札幌 長崎 金沢 松江 仙台 高知 那覇 函館 奈良 鎌倉 熊本 福岡 盛岡 静岡 徳島 富山 小樽",
    "t": """春には 夜明け前に 戦後 正午に 去年の冬 日曜ごとに 何年も前に 夕暮れに その晩 一週間で 真夜中に
    八月になると 最近まで ある朝 初めは やがて 年に一度 当時""",
    "c": """忍耐 重力 友情 浸食 正義 対称性 空腹 記憶 貿易 沈黙 信仰 移住 笑い リズム 誠実さ 退屈 疲れ 需要
    気候 勇気 証拠""",
    "w": """家賃が倍になったので 雨だったのに 冬が来る前に 子どもたちのために 寄付のおかげで 鋼が足りず
    賭けに勝つために 好奇心から 大雪の中で 五度目にして 誰もが驚いたことに 少し悔やみながら 嵐の合間に うっかり
    人目もはばからず 反対を押し切って""",
}
_JA_PATTERNS = words(
    """{t}、{p}は{a}{n}を{v}。
{name}さんは{place}で{n}を{v}。
{w}、{p}たちが{n}を{v}。
これほど{a}{n}を好む{p}は少ない。
{c}とは{p}にとって{c}の別名だ。
「{n}など見たこともない」と{name}さんは言った。
{place}は{a}{n}で知られている。
{c}がなければ{n}も{p}も動かない。
{n}からは{place}と{a}{n}が見える。
{t}、{n}に{num}人の{p}がいた。
{place}から{place}まで{num}キロある。
{p}は{n}を{v}が、{p}は{place}へ向かった。
{name}さんは尋ねた、{c}は{n}を変えるだろうか。
最初の{n}は{a}もので、次は{p}が{v}。
{w}、{name}さんと{name}さんは{n}を{v}。
{c}ではなく{c}こそが{place}の{n}を説明する。
{num}日後、{name}さんは最後の{n}を{v}。
{a}{n}の噂が{place}に届いた。""",
    "\n",
)

_KO: dict[str, str] = {
    "n": """항구 골짜기 도서관 정원 빙하 부엌 박물관 돌다리 실험실 초원 철도 공방 등대 위성 포도밭 기록 안뜰
    저수지 망원경 과수원 교실 수도원 하구 온실 경기장 약국 등불 나침반 장부 바이올린 난로 운하 병원 빵집 극장 시장 숲
    섬 공책 건전지 계약 예산 선거 백신 조약 소설 조각 담요 창문 복도 계단 굴뚝 나무통 양초 조약돌 폭풍 그림자 휘파람
    거울 양탄자 서랍 차표 항해 마차""",
    "p": """기술자 마을사람 역사가 간호사 선원 농부 학생 평론가 이웃 조종사 상인 생물학자 목수 악사 번역가
    회계사 정원사 광부 교사 시인 재단사 천문학자 사서 건축가 등산가 편집자 어부 변호사 무용수 화가 양치기 도공 판사
    기자 요리사""",
    "a": """조용한 오래된 좁은 밝은 약한 먼 붐비는 소박한 이상한 튼튼한 붉은 쓴 우아한 거친 기름진 버려진
    섬세한 생생한 녹슨 거대한 얕은 얼어붙은 다정한 고집센 축축한 숨은 시끄러운 금빛 서투른 사나운 어두운 값싼""",
    "v": """고쳤다 그렸다 포기했다 쟀다 의심했다 찾아냈다 무시했다 새로지었다 칭찬했다 빌렸다 탐험했다
    물려받았다 찍었다 지켰다 베꼈다 상상했다 피했다 기록했다 청소했다 열었다 꾸몄다 팔았다 조사했다 감시했다 바꾸었다
    방문했다 건넜다 설계했다 외웠다 놓쳤다 축하했다""",
    "name": "민수 영희 지훈 서연 현우 수빈 준호 하은 도윤 지민 태현 은주 성민 미경 동욱 소라 재석 유나",
    "place": "부산 전주 경주 제주 강릉 여수 대구 춘천 목포 안동 군산 통영 속초 청주 순천 남원",
    "t": """봄에|새벽에|전쟁 뒤에|정오에|지난겨울|일요일마다|몇 해 전|해질녘에|그날 저녁|한밤중에|팔월이면|
    최근까지|어느 아침|처음에는|마침내|해마다|그때""",
    "c": """인내 중력 우정 침식 정의 대칭 배고픔 기억 무역 침묵 믿음 이주 웃음 박자 정직 지루함 피로 수요 기후
    용기 증거""",
    "w": """집세가 올라서|비가 왔지만|겨울이 오기 전에|아이들을 위해|기부 덕분에|강철이 모자라|내기에 이기려고|
    호기심으로|폭설 속에서|다섯 번째로|모두 놀랍게도|조금 아쉬워하며|폭풍 사이에|실수로|반대를 무릅쓰고""",
}
_KO_PATTERNS = words(
    """{t} 그 {p} 몇이 {a} {n} 하나를 {v}.
{name} 씨는 {place}에서 {n}도 {v}.
{w} {p}들이 {n}까지 {v}.
이렇게 {a} {n}, 좋아할 {p} 있을까?
{p}에게 {c}란 {c}의 다른 이름이다.
"{n} 같은 건 본 적 없어요." {name} 씨가 말했다.
{place}의 {a} {n}에는 {p}들이 많다.
{c} 없이는 {n}도 {p}도 소용없다.
{n}에서 보면 {place}의 {a} {n}도 보인다.
{t} {n}에 {p} {num}명이 있었다.
{place}에서 {place}까지 {num}킬로미터다.
{name} 씨는 물었다. {c}만으로 {n} 값이 바뀔까?
{w} {name} 씨와 {name} 씨는 {n}마저 {v}.
{c} 아닌 {c}에서 {place}의 {n}까지 이어진다.
{num}일 뒤 {name} 씨는 마지막 {n}마저 {v}.
{a} {n} 소문이 {place}까지 퍼졌다.""",
    "\n",
)

_RU: dict[str, str] = {
    "p": """инженеры жители историки медсёстры матросы фермеры студенты критики соседи лётчики купцы биологи
    плотники музыканты переводчики счетоводы садовники шахтёры учителя поэты портные астрономы архитекторы альпинисты
    редакторы рыбаки юристы танцоры художники лесники пастухи гончары судьи репортёры повара водолазы""",
    "v": """починили описали покинули измерили покрасили нашли забыли перестроили похвалили заняли исследовали
    сняли защитили срисовали сохранили обошли записали вычистили открыли украсили продали изучили сторожили осмотрели
    заменили посетили пересекли задумали запомнили упустили отметили""",
    "o": """гавань долину библиотеку кухню мост мельницу маяк виноградник архив двор телескоп сад класс
    монастырь теплицу стадион аптеку фонарь компас книгу скрипку печь канал больницу пекарню театр рынок лес остров
    тетрадь договор смету вакцину роман скульптуру одеяло окно коридор лестницу трубу бочку свечу камень тень ленту
    седло зеркало ковёр ящик молоток билет повозку""",
    "n": """гавань мельница башня пекарня скрипка тетрадь лестница свеча тень ярмарка станция вершина улица
    дорога книга крыша площадь роща равнина бухта пристань усадьба""",
    "a": """тихая старая узкая яркая хрупкая далёкая людная скромная странная крепкая пустая алая горькая
    грубая заброшенная тонкая ржавая огромная мелкая упрямая сырая шумная золотая неловкая тусклая дешёвая""",
    "name": """Анна Борис Вера Глеб Дарья Егор Жанна Захар Инна Кирилл Лида Марк Нина Олег Полина Роман Софья
    Тимур Ульяна Фёдор""",
    "place": """Казани Риге Твери Омске Ялте Вологде Пскове Томске Суздале Одессе Выборге Сочи Калуге Елабуге
    Тарту Минске""",
    "t": """Весной|До рассвета|После войны|К полудню|Прошлой зимой|По воскресеньям|Много лет назад|В сумерках|
    Тем вечером|За неделю|В полночь|Каждый август|Однажды утром|Сначала|Потом|Раз в год|Обычно|Тогда""",
    "c": """терпение тяготение дружба справедливость голод память торговля молчание вера юмор ритм честность
    скука усталость спрос климат мужество улика тишина""",
    "w": """потому что подорожало жильё|хотя шёл дождь|пока не пришла зима|чтобы играли дети|
    из-за нехватки стали|на спор|из любопытства|под снегом|в пятый раз|ко всеобщему удивлению|с сожалением|
    между двумя бурями|по ошибке|у всех на виду|вопреки советам""",
}
_RU_PATTERNS = words(
    """{t} {p} {v} {o}, {w}.
{name} думает, что {c} важнее, чем {c}.
В {place} {p} {v} {o} и {o}.
{a_c} {n} стоит в {place}, {w}.
Одни {v} {o}, другие {v} {o}.
«Мы не {v} {o}», — заметили {p} в {place}.
Что такое {c}? Для {name_d} это {c}.
{p_c} редко {v} {o}, {w}.
{t} в {place} жили {num} семей, {w}.
Не {c}, а {c} — вот что {v} {p}.
{n_c}, {n} и {a} {n}: всё это {v} {p}.
Через {num} дней {p} {v} {o}.
Если бы {p} {v} {o}, {name} бы знала.
Вряд ли {a} {n} дороже, чем {n}.
Даже {c} не спасла бы, {w}: {p} {v} {o}.""",
    "\n",
)
_RU["name_d"] = "Анны Бориса Веры Глеба Дарьи Егора Захара Инны Кирилла Марка Нины Олега Романа Тимура"

_TABLES = {
    "en": (_EN, _EN_PATTERNS, " "),
    "zh": (_ZH, _ZH_PATTERNS, ""),
    "ja": (_JA, _JA_PATTERNS, ""),
    "ko": (_KO, _KO_PATTERNS, " "),
    "ru": (_RU, _RU_PATTERNS, " "),
}
_SLOT = re.compile(r"\{(\w+)\}")


def _entries(packed: str) -> list[str]:
    """The entries of a packed list: separated by | when there is one, else by spaces."""
    flat = " ".join(packed.split())
    return [entry.strip() for entry in flat.split("|" if "|" in flat else " ")]


class Deck:
    """Deals the entries of a list in random order; reshuffles when it has dealt them all."""

    def __init__(self, rng: random.Random, entries: Sequence[str]) -> None:
        self._rng, self._entries = rng, list(entries)
        self._left: list[str] = []

    def deal(self) -> str:
        """The next entry."""
        if not self._left:
            self._left = self._rng.sample(self._entries, len(self._entries))
        return self._left.pop()


class Prose:
    """A source of ordinary text in one language; the same seed gives the same text."""

    def __init__(self, rng: random.Random, language: str = "en") -> None:
        words, patterns, self._space = _TABLES[language]
        self.rng, self.language = rng, language
        self._decks = {slot: Deck(rng, _entries(packed)) for slot, packed in words.items()}
        self._patterns = Deck(rng, patterns)

    def word(self, slot: str) -> str:
        """One entry of a slot; `slot_c` capitalises, `num` is a number."""
        if slot == "num":
            return str(self.rng.choice((self.rng.randint(3, 99), self.rng.randint(100, 9999))))
        if slot.endswith("_c") and slot not in self._decks:
            dealt = self._decks[slot[:-2]].deal()
            return dealt[0].upper() + dealt[1:]
        return self._decks[slot].deal()

    def sentence(self) -> str:
        """One sentence with its full stop."""
        return _SLOT.sub(lambda match: self.word(match.group(1)), self._patterns.deal())

    def sentences(self, n: int) -> str:
        """`n` sentences as running text."""
        return self._space.join(self.sentence() for _ in range(n))

    def paragraph(self, chars: int) -> str:
        """Running text of whole sentences, at least `chars` characters."""
        parts = [self.sentence()]
        while sum(map(len, parts)) + len(parts) < chars:
            parts.append(self.sentence())
        return self._space.join(parts)

    def text(self, chars: int) -> str:
        """Paragraphs of two to six sentences, about `chars` characters; empty for 0."""
        parts: list[str] = []
        while sum(map(len, parts)) < chars:
            parts.append(self.sentences(self.rng.randint(2, 6)))
        return "\n\n".join(parts)

    def phrase(self) -> str:
        """A few words of a sentence, without its end."""
        sentence = self.sentence().rstrip(".。?？")
        if not self._space:
            return sentence[: self.rng.randint(5, 14)].rstrip("，、“「")
        words = sentence.split(" ")
        return " ".join(words[: self.rng.randint(3, 6)]).rstrip(",;:")


def main() -> None:
    """Print one paragraph per language."""
    for language in LANGUAGES:
        print(language, "|", Prose(random.Random(0), language).paragraph(600), "\n")


if __name__ == "__main__":
    main()
