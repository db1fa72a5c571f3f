"""How fast this machine works, stage by stage, beside what it could do."""
