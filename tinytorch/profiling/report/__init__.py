"""A profile shown: text, page, files for other tools, and the difference of two."""
