"""What a storage tells: whose it is, what time it is there, which database swept it last."""
