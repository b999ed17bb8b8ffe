"""Pixels <-> what a network predicts, for points and for face boxes: one tested pair of encode and decode each."""
