"""A page to work on a song: mark where an instrument plays, hear what is found, peel it off, go on with the rest."""
