"""Chest X-rays: opening a data set, its folds, its audit, and the phantom.

dataset        a data set, and what training may see of it
source         opening one: its format is found by its path
table          the table behind every data set: classes, patients, splits
manifest       the description of a data set beside its images
image_folders  folders of images, and what their names say of patients
csv_tables     tables of labels, and the images that they name
arrays         NumPy arrays
dicom          DICOM files
images         image files as pixels
phantom        synthetic images
cache          what is computed or fetched once
audit          leaks and duplicates
"""
