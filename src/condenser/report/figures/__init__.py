"""Figures for papers, as PNG and SVG."""
