"""The detector against labelled outputs, generated corpora and the rules others publish."""
