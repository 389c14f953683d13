"""Plain files: MetaImage volumes, profile tables, calibrations, cross sections, and durable writing."""
