"""What all figures are made of: SVG elements, the figure's model, legends."""
