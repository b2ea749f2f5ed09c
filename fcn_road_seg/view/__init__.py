"""`road_seg view`: the overlay, the mask and figures of a running node in a browser and in Foxglove.

`listener` (the only file with ROS) hears the node, `figures` counts and judges, `latest_overlay` holds the newest picture,
`page` serves them to browsers with page.html, `foxglove` to Foxglove.
"""
