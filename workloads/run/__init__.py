"""Run one repetition on the board: a spec comes in, marks and results go out."""
