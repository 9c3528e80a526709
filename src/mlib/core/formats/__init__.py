"""Reading what model files say of themselves: headers only, bounded in time and memory, nothing executed."""
