"""Steps of the database, in order; the name of a step is its revision."""
