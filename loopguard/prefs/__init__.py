"""BUILD. From prompts and a recipe to preference data: sample, detect, judge, pair, write."""
