"""Publishing: a governed version of the lake becomes a serving table that the engine reads."""
