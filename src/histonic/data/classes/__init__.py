"""What the names of classes say: their order, and which of two is the positive one."""
