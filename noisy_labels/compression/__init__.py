"""Features compressed so that wrong labels do not fit: nested dropout, dropout, effective rank."""
