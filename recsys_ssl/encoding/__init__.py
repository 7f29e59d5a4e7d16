"""Features of users, items and impressions: declared, encoded, embedded; vocabularies that grow."""
