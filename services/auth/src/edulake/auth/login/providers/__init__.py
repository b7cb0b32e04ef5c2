"""The ways in which somebody outside proves who a person is: one port, one file for each way."""
