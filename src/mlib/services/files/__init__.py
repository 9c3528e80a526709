"""What the services share that touch a user's files."""
