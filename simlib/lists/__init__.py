"""A person's own lists of stars and conditions: many formats and names in, what was meant out."""
