"""What people read: one self-contained HTML page, the same as Markdown, and a model card."""
