"""What happens within a repetition: its phases, and how it settles on a warm board."""
