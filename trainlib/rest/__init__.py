"""The frame in which a star rests: an axis and a basis there, and the ways to what is seen."""
