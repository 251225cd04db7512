"""Floors: the same process layout with no logic. They show what the streams alone cost."""
