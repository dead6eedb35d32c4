"""SEE. A run or a verdict file to look at: figures, charts, a page. Reads; never changes anything."""
