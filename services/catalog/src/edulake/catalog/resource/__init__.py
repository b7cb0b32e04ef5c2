"""Resources: what can be found, with the core metadata of the national catalogue guide (2017)."""
