"""What people look at: messages, tables, progress; all of it text made harmless first."""
