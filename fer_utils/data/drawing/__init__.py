"""How one face is drawn: what varies (`person`), its shapes, and the canvas they are painted on."""
