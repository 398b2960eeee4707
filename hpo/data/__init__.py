"""Chest X-rays: opening a data set, its folds, its audit, and the phantom.

dataset        a data set, and the part that training may see
source         opening a data set; its format is detected from the path
table          the table behind every data set: classes, patients, splits
manifest       the description of a data set (TOML)
image_folders  folders of images, and patients in their file names
csv_tables     tables of labels, and their images
arrays         NumPy arrays
dicom          DICOM files
images         image files as pixels
phantom        synthetic images
cache          cached digests and pixels; the download of PneumoniaMNIST
audit          leaks and duplicates
"""
