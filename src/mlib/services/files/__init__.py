"""Verbs that touch a user's files, and what they share."""
