"""What is true of projects, their catalogue and their models; knows no database, no protobuf and no HTTP."""
