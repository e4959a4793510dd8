"""Results: kept, compared, shown. This room knows results only, never a board."""
