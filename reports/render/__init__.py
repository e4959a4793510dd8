"""Make pages and files of sections: HTML, Markdown, plain text."""
