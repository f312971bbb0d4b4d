"""One chart a file: data in, a drawing of any width out. A page draws each wide, and narrow for a phone."""

WIDE, NARROW = 760, 340  # pixels: the text column of the page, and of a phone with 360
STACKED = 560  # narrower than this, panels are drawn one under the other
