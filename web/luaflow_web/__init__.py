"""What luaflow shows over HTTP: the ``http.*`` entries of an app."""
