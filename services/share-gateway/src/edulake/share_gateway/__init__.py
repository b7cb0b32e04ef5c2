"""Published: the data plane, the share API engine and the publisher."""
