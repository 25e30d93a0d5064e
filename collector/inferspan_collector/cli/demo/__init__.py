"""`inferspan demo`: a real model, late labels, and a scanner that changes its unit."""
