"""Bills of material: typed facts in, the bytes of one document out. One module a format; nothing is imported here."""
