"""FIND: whether an output loops, where and why. Useful alone; knows no engine and no judge."""
