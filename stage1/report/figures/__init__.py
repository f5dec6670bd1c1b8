"""One figure a file: numbers in, SVG out."""
