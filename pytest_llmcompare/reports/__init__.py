"""Reports: messages, tables, progress bars and files. Text of models is escaped in all of them."""
