"""What the site says of the code is made from the code: figures, field table, references, snippets."""
