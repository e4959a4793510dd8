"""Beyond one comparison: a method over several boards, to a quality, and at a budget."""
