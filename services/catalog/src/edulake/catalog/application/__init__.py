"""Applications: somebody asks for a resource, others decide."""
