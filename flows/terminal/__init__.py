"""What a person sees of the program: messages, progress, tables, and how it ends."""
