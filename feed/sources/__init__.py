"""Where ticks come from, one file each: `sim` and `replay`. What a source is: `source`."""
