"""What people read: the verdict card, reports, tables, series. Data and text, no pages."""
