"""EduLake shared kit: no word of education lives here."""
