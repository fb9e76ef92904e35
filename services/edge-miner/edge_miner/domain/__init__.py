"""What is true about rounds, pools, rankings and what they are worth; no database, no broker, no HTTP."""
