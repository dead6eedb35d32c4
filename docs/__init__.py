"""The site: its pages (*.md), and under generate/ what makes the rest of it from the code and the raw results."""
